"""PyTorch: an nn.Module and a loop over batches, eager or with the model in torch.compile."""

import math

import torch
from torch import nn

from benchmarks.peers.problems import ADAM_EPSILON, LR

LOG_2_PI = math.log(2.0 * math.pi)
GENERATED_AT_ONCE = 16_384


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
        """The means of KL and log p(x|z) over the batch."""
        mean, log_std = self.encoder(x).chunk(2, dim=-1)
        kl = -0.5 * (1.0 + 2.0 * log_std - mean**2 - torch.exp(2.0 * log_std)).sum(-1).mean()
        outputs = self.decoder(mean + torch.exp(log_std) * epsilon)
        if self.likelihood == "bernoulli":
            log_px_z = (x * outputs - nn.functional.softplus(outputs)).sum(-1).mean()
        else:
            mean, log_std = outputs.chunk(2, dim=-1)
            s = (x - mean) * torch.exp(-log_std)
            log_px_z = -(0.5 * (LOG_2_PI + s**2) + log_std).sum(-1).mean()
        return kl, log_px_z


class Trainer:
    def __init__(self, problem, x, batch_size, optimizer):
        self.problem, self.batch_size = problem, batch_size
        self.x = torch.from_numpy(x)
        self.model = self.terms = VAE(problem)
        parameters = list(self.model.parameters())
        if optimizer == "sgd":
            self.optimizer = torch.optim.SGD(parameters, LR, fused=True)
        else:
            self.optimizer = torch.optim.Adam(parameters, LR, eps=ADAM_EPSILON, fused=True)

    def update(self, x, epsilon):
        self.optimizer.zero_grad(set_to_none=True)
        kl, log_px_z = self.terms(x, epsilon)
        (kl - log_px_z).backward()
        self.optimizer.step()
        return kl.detach(), log_px_z.detach()

    def step(self, x, epsilon):
        kl, log_px_z = self.update(torch.from_numpy(x), torch.from_numpy(epsilon))
        return kl.item() - log_px_z.item()

    def weights(self):
        values = (p.detach().numpy() for p in self.model.parameters())
        return [(w.T if w.ndim == 2 else w).copy() for w in values]

    def train(self, epoch):
        torch.manual_seed(epoch)
        sums = torch.zeros(2)
        for rows in torch.randperm(len(self.x)).split(self.batch_size):
            x = self.x[rows]
            if self.problem.likelihood == "bernoulli":
                x = torch.bernoulli(x / 255.0)
            sums += torch.stack(self.update(x, torch.randn(len(x), self.problem.n_dim)))
        return (sums / len(self.x)).tolist()


class CompiledTrainer(Trainer):
    """The model's terms and their gradients compiled; PyTorch needs a C++ compiler for it."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.terms = torch.compile(self.model)


class Generator:
    def __init__(self, problem):
        self.problem, self.model = problem, VAE(problem)

    def draw(self, z, epsilon):
        mean, log_std = self.model.decoder(z).chunk(2, dim=-1)
        return mean + torch.exp(log_std) * epsilon

    @torch.inference_mode()
    def decode(self, z, epsilon):
        return self.draw(torch.from_numpy(z), torch.from_numpy(epsilon)).numpy()

    @torch.inference_mode()
    def generate(self, n_samples, seed):
        torch.manual_seed(seed)
        parts = []
        for start in range(0, n_samples, GENERATED_AT_ONCE):
            n = min(GENERATED_AT_ONCE, n_samples - start)
            z, epsilon = torch.randn(n, self.problem.n_dim), torch.randn(n, self.problem.data_dim)
            parts.append(self.draw(z, epsilon))
        return torch.cat(parts).numpy()
