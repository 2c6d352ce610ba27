"""The ground floor: settings, database, contracts, logging and the command line that everything stands on."""
