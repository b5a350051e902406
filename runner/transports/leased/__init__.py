"""The leased transport: one private stream for each worker, frames that are leased and acknowledged."""
