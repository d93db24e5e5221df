"""PyTorch: an nn.Module under torch.compile, and five whole steps in one compiled graph.

torch.compile needs a C++ compiler.
"""

import math
import os

import torch
from torch import nn

from benchmarks.peers.problems import ADAM_EPSILON, LR

LOG_2_PI = math.log(2.0 * math.pi)
GENERATED_BATCH = 4096  # the activations of so many stay in the cache
STEPS = 5  # in one compiled graph; the compiler takes in proportion
SMALL = 5000  # numbers in a layer: with fewer, threads wait longer than they work


def network(sizes):
    n1, n2, n3, n4 = sizes
    layers = nn.Linear(n1, n2), nn.ReLU(), nn.Linear(n2, n3), nn.ReLU(), nn.Linear(n3, n4)
    return nn.Sequential(*layers)


class VAE(nn.Module):
    def __init__(self, problem):
        super().__init__()
        self.likelihood = problem.likelihood
        self.encoder, self.decoder = network(problem.encoder_sizes), network(problem.decoder_sizes)
        with torch.no_grad():
            first = map(torch.from_numpy, problem.first_weights())
            for parameter, value in zip(self.parameters(), first, strict=True):
                parameter.copy_(value.T if value.ndim == 2 else value)

    def forward(self, x, epsilon):
        """The cost, the mean over the batch of KL - log p(x|z)."""
        mean, log_std = self.encoder(x).chunk(2, dim=-1)
        kl = -0.5 * (1.0 + 2.0 * log_std - mean**2 - torch.exp(2.0 * log_std)).sum(-1).mean()
        outputs = self.decoder(mean + torch.exp(log_std) * epsilon)
        if self.likelihood == "bernoulli":
            return kl - (x * outputs - nn.functional.softplus(outputs)).sum(-1).mean()
        mean, log_std = outputs.chunk(2, dim=-1)
        s = (x - mean) * torch.exp(-log_std)
        return kl + (0.5 * (LOG_2_PI + s**2) + log_std).sum(-1).mean()


class Trainer:
    def __init__(self, problem, x, batch_size, optimizer):
        torch.compiler.reset()  # it counts the shapes that it has met, and stops at eight
        self.problem, self.batch_size = problem, batch_size
        small = batch_size * problem.n_width < SMALL
        torch.set_num_threads(1 if small else os.cpu_count())
        self.x = torch.from_numpy(x)
        self.model = VAE(problem)
        self.cost = torch.compile(self.model)
        parameters = list(self.model.parameters())
        if optimizer == "sgd":
            self.optimizer = torch.optim.SGD(parameters, LR, fused=True)
        else:
            self.optimizer = torch.optim.Adam(parameters, LR, eps=ADAM_EPSILON, fused=True)

    def step(self, x, epsilon):
        return self.update(torch.from_numpy(x), torch.from_numpy(epsilon)).item()

    def update(self, x, epsilon):
        self.optimizer.zero_grad(set_to_none=True)
        cost = self.cost(x, epsilon)
        cost.backward()
        self.optimizer.step()
        return cost.detach()

    def weights(self):
        values = (p.detach().numpy() for p in self.model.parameters())
        return [(w.T if w.ndim == 2 else w).copy() for w in values]

    def batches(self, epoch):
        """x (n_steps, B, data_dim) in a new order and epsilon (n_steps, B, n_dim)."""
        torch.manual_seed(epoch)
        x = self.x[torch.randperm(len(self.x))]
        if self.problem.likelihood == "bernoulli":
            x = torch.bernoulli(x / 255.0)
        x = x.reshape(-1, self.batch_size, self.problem.data_dim)
        return x, torch.randn(*x.shape[:2], self.problem.n_dim)

    def train(self, epoch):
        for x, epsilon in zip(*self.batches(epoch), strict=True):
            self.update(x, epsilon)


class StepsTrainer(Trainer):
    """Gradients and optimizer written as functions, so that the graph holds whole steps."""

    def __init__(self, problem, x, batch_size, optimizer):
        super().__init__(problem, x, batch_size, optimizer)
        self.names, weights = zip(*self.model.named_parameters(), strict=True)
        zeros = ([torch.zeros_like(w, requires_grad=False) for w in weights] for _ in range(2))
        self.state = [w.detach() for w in weights], *zeros, torch.zeros(())
        self.optimize = {"sgd": self.sgd, "adam": self.adam}[optimizer]
        self.steps = torch.compile(self.some_steps, fullgraph=True)

    def cost_of(self, weights, x, epsilon):
        parameters = dict(zip(self.names, weights, strict=True))
        return torch.func.functional_call(self.model, parameters, (x, epsilon))

    def sgd(self, weights, m, v, t, gradients):
        return [w - LR * g for w, g in zip(weights, gradients, strict=True)], m, v, t

    def adam(self, weights, m, v, t, gradients):
        t = t + 1.0
        rate = LR * torch.sqrt(1.0 - 0.999**t) / (1.0 - 0.9**t)
        m = [a + 0.1 * (g - a) for a, g in zip(m, gradients, strict=True)]
        v = [a + 0.001 * (g * g - a) for a, g in zip(v, gradients, strict=True)]
        steps = [rate * a / (torch.sqrt(b) + ADAM_EPSILON) for a, b in zip(m, v, strict=True)]
        return [w - step for w, step in zip(weights, steps, strict=True)], m, v, t

    def some_steps(self, state, x, epsilon):
        costs = []
        for k in range(len(x)):
            gradient = torch.func.grad_and_value(self.cost_of)
            gradients, cost = gradient(state[0], x[k], epsilon[k])
            state = self.optimize(*state, gradients)
            costs.append(cost)
        return state, torch.stack(costs)

    @torch.no_grad()
    def update(self, x, epsilon):
        self.state, costs = self.some_steps(self.state, x[None], epsilon[None])
        return costs[0]

    def weights(self):
        return [(w.T if w.ndim == 2 else w).numpy().copy() for w in self.state[0]]

    @torch.no_grad()
    def train(self, epoch):
        x, epsilon = (part.split(STEPS) for part in self.batches(epoch))
        for some_x, some_epsilon in zip(x, epsilon, strict=True):
            self.state, _ = self.steps(self.state, some_x, some_epsilon)


class Generator:
    def __init__(self, problem):
        self.problem, self.model = problem, VAE(problem)
        self.draw = torch.compile(self.eager_draw)

    def eager_draw(self, z, epsilon):
        mean, log_std = self.model.decoder(z).chunk(2, dim=-1)
        return mean + torch.exp(log_std) * epsilon

    @torch.inference_mode()
    def decode(self, z, epsilon):
        return self.eager_draw(torch.from_numpy(z), torch.from_numpy(epsilon)).numpy()

    @torch.inference_mode()
    def generate(self, n_samples, seed):
        torch.manual_seed(seed)
        n_batches = -(-n_samples // GENERATED_BATCH)
        x = torch.empty(n_batches, GENERATED_BATCH, self.problem.data_dim)
        for part in x:
            z = torch.randn(GENERATED_BATCH, self.problem.n_dim)
            part.copy_(self.draw(z, torch.randn(part.shape)))
        return x.reshape(-1, self.problem.data_dim)[:n_samples].numpy()
