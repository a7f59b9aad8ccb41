from pipelines.compression_study.served_costs import last_order
from returns.memory import Memory
from returns.protocol import Protocol


def test_the_last_order_is_whole(dated):
    memory = Memory.of(dated, Protocol.STRICT)
    order = last_order(memory).events
    (basket,) = set(order["basket_key"].to_pylist())
    remembered = memory.tables.events["basket_key"].to_pylist()
    assert remembered[-1] == basket
    assert order.num_rows == remembered.count(basket)


def test_where_orders_are_unknown_it_is_one_line(undated):
    order = last_order(Memory.of(undated, Protocol.STRICT))
    assert order.events.num_rows == 1
    assert order.customers.num_rows == 0
