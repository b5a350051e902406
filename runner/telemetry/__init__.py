"""What a run tells to systems that watch machines: metrics, spans, and a trace of its past."""
