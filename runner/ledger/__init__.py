"""The accounts of queues, leases, order, shards, retries and flow control. Pure: no socket and no clock."""
