"""The two-stage recommender: recall channels, their fusion, the ranker, and the metrics that judge them."""
