"""The service behind `python -m runtime.serve`: requests, live pictures and a page, over the same pipeline as `stream`.

    door → routes → translator (its own engine)      POST /translate
                  → live stream → pictures           /streams, the page
"""
