"""SQL of the API, one module per subject. Every statement takes its values as parameters and filters by tenant."""
