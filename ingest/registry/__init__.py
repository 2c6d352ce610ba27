"""Who and what exists: sites, devices, routes; written by commands, CSV files, the API and GTFS feeds.

`entries` says what a site or device may look like, `sites` and `devices` write them, `registrations` keeps the dates,
`rows` takes what programs made, `gtfs` a timetable.
"""
