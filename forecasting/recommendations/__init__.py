"""Recommendations: what should be done about a hotspot, why, and what it is expected to save.

`actions` is the table of what can be recommended; `situation`, `occasions`, `preconditions`, `effects` and `proposals`
are pure; `reading` reads, `records` writes and takes decisions.
"""

from forecasting.recommendations.proposals import Recommendation
from forecasting.recommendations.records import Decision, decide, recommend, recommend_for_site

__all__ = ["Decision", "Recommendation", "decide", "recommend", "recommend_for_site"]
