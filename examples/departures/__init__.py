"""The departures of New York's three airports in 2013, replayed live: freshwire's demo."""
