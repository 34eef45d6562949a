"""What goes to the Hub: cards from measured data, whole folders, and the checks that they pass first."""
