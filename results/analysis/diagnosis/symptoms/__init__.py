"""One module for each group of symptoms: how it is recognized, how severe it is, what it says."""
