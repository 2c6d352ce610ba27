"""The shapes of the API's answers, one module per subject, with the meaning and unit of every field."""
