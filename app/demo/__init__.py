"""The demo: a whole campaign against the simulator, and a check of every count.

It uses the product as a customer would, over HTTP. `place` says where it runs, `clients` speak to Relay and to the
simulator, `story` plays the campaign, `facts` and `roster` read what came of it from the database and from the
contact file, `checks` compare all sides, `report` shows and writes the result.
"""
