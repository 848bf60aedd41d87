"""How a declared game can be trained: the ways there are, which of them fit, and the first taken.

plan(game, data)     ->  every way of training, what it needs and costs, what others lack
train(game, data)    ->  the first way that fits, run; its end is a `Solution`
"""
