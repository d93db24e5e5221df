"""PyTorch: an nn.Module under torch.compile, which needs a C++ compiler, and a fused optimizer."""

import math

import torch
from torch import nn

from benchmarks.peers.problems import ADAM_EPSILON, GENERATED_BATCH, LOG_2_PI, LR

SMALL = 5000  # numbers in a layer: with fewer, threads wait longer than they work


def network(shapes):
    first, second, head = (nn.Linear(*shape) for shape in shapes)
    return nn.Sequential(first, nn.ReLU(), second, nn.ReLU(), head)


class VAE(nn.Module):
    def __init__(self, problem):
        super().__init__()
        self.likelihood = problem.likelihood
        self.encoder, self.decoder = network(problem.shapes[:3]), network(problem.shapes[3:])
        with torch.no_grad():
            for parameter, value in zip(self.parameters(), problem.first_weights(), strict=True):
                parameter.copy_(torch.from_numpy(value.T))  # Linear keeps W transposed

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
        if batch_size * problem.n_width[0] < SMALL:
            torch.set_num_threads(1)
        self.x, self.batch_size, self.n_dim = torch.from_numpy(x), batch_size, problem.n_dim
        model = VAE(problem)
        self.cost = torch.compile(model)
        if optimizer == "sgd":
            self.optimizer = torch.optim.SGD(model.parameters(), LR, fused=True)
        else:
            self.optimizer = torch.optim.Adam(model.parameters(), LR, eps=ADAM_EPSILON, fused=True)

    def step(self, x, epsilon):
        self.optimizer.zero_grad(set_to_none=True)
        cost = self.cost(torch.as_tensor(x), torch.as_tensor(epsilon))
        cost.backward()
        self.optimizer.step()
        return cost.item()

    def train(self, epoch):
        torch.manual_seed(epoch)
        x = self.x[torch.randperm(len(self.x))].split(self.batch_size)
        epsilon = torch.randn(len(self.x), self.n_dim).split(self.batch_size)
        for batch in zip(x, epsilon, strict=True):
            self.step(*batch)


class Generator:
    def __init__(self, problem):
        self.problem = problem
        self.decoder = VAE(problem).decoder

    @torch.compile
    def draw(self, z, epsilon):
        mean, log_std = self.decoder(z).chunk(2, dim=-1)
        return mean + torch.exp(log_std) * epsilon

    @torch.inference_mode()
    def generate(self, n_samples, seed):
        torch.manual_seed(seed)
        n_batches = math.ceil(n_samples / GENERATED_BATCH)
        x = torch.empty(n_batches, GENERATED_BATCH, self.problem.data_dim)
        for part in x:
            z = torch.randn(GENERATED_BATCH, self.problem.n_dim)
            part.copy_(self.draw(z, torch.randn(part.shape)))
        return x.reshape(-1, self.problem.data_dim)[:n_samples].numpy()
