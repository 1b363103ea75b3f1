"""What leaves the building: parquet shards, their manifest, the commit protocol that publishes them, and readers."""
