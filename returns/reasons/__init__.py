"""Why a model gives an order line its probability: what each cause adds to the log-odds."""
