"""The pages of the dashboard, each a pure function of what is known to fragments by element id."""
