"""What happens in a run, as typed records: declarations, the bus, and the folds that make reports of them."""
