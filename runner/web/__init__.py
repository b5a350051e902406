"""The dashboard: pages of all runs of a home, live and past, served to a browser on this machine."""
