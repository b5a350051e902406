"""Files of other tools become files of jobs: what is understood goes over, what is not is left where it can be seen."""
