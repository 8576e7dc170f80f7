"""The published networks of the chapters: load and verify them. Nothing here trains."""
