import torch

from toto_robot.ground.average import update_average


def test_the_average_moves_towards_the_newest_weights_and_more_slowly_with_every_update():
    average, newest = torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)
    for updates, share in ((0, 0.9), (10, 9 / 20), (10**6, 0.01)):
        before = average.weight.clone()
        update_average(average, newest, updates=updates, decay=0.99)
        assert torch.allclose(average.weight, before + share * (newest.weight - before))


def test_without_decay_the_average_is_the_newest_weights_and_needs_no_gradient():
    average, newest = torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)
    update_average(average, newest, updates=5, decay=0.0)
    assert torch.equal(average.weight, newest.weight) and average.weight.grad_fn is None
