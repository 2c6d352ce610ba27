"""The API: reads the marts, the live state and the predictions, and presents them. It decides nothing about data."""
