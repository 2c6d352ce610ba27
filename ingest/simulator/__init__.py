"""A city with buses, demand, devices and their faults; knows the truth.

`City.build(CityConfig())` lays it out; `city.day(date)` lives through one service day; `live.iter_history` and
`live.upcoming` are its days as one stream. Everything is drawn from (seed, date), so the same configuration gives
the same bytes in any order of asking. No database and no broker here: who loads and sends is elsewhere.
"""
