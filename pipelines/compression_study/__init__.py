"""The pruning studies behind `compress`: cells, their tuning, tables and charts."""
