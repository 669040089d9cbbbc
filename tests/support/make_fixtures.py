#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes the fixtures that the model engine is held against, with PyTorch.

    python3 tests/support/make_fixtures.py [fixtures] [dense-softmax]

Needs torch and numpy (made with torch 2.15 on CPU). Everything is seeded and
double precision is used for nothing but what is printed, so that the engine's
float arithmetic is compared with float arithmetic.
"""
import gzip
import json
import struct
import sys
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

ROOT = Path(__file__).resolve().parent.parent / "data"
torch.set_num_threads(1)


def floats(tensor):
    """Numbers that read back as the same float32."""
    flat = tensor.detach().to(torch.float32).reshape(-1)
    return [float(f"{float(v):.9g}") for v in flat]


# ---- One model of everything, small ----

USERS, ITEMS, TAGS = 12, 9, 6  # ids 1..n, row 0 is the missing id
WIDTH, VECTOR, BATCH, CLASSES = 4, 3, 16, 3


def table_width(case):
    return WIDTH + (1 + CLASSES if case["linear"] else 0)


class Net:
    """The engine's architecture, parameter by parameter, by its names."""

    def __init__(self, case, seed):
        g = torch.Generator().manual_seed(seed)
        self.case = case
        self.tables = {}
        self.dense = {}

        def new(shape, scale):
            return (torch.rand(shape, generator=g) * 2 - 1) * scale

        for name, rows in (("user", USERS), ("item", ITEMS), ("tags", TAGS)):
            self.tables[name] = new((rows + 1, table_width(case)), 0.4)
        inputs = 3 * WIDTH + VECTOR
        for i in range(case["cross"]):
            self.dense[f"cross/{i}/weight"] = new((inputs, inputs), 0.3)
            self.dense[f"cross/{i}/bias"] = new((inputs,), 0.1)
        width = inputs
        for i, hidden in enumerate(case["hidden"]):
            self.dense[f"mlp/{i}/weight"] = new((hidden, width), 0.4)
            self.dense[f"mlp/{i}/bias"] = new((hidden,), 0.1)
            width = hidden
        trunk = width + (WIDTH if case["fm"] else 0)
        heads = {"click": 1, "stars": CLASSES}
        for name, k in heads.items():
            self.dense[f"head/{name}/weight"] = new((k, trunk), 0.5)
            self.dense[f"head/{name}/bias"] = new((k,), 0.1)
        if case["auxiliary"]:
            self.dense["head/click/auxiliary/weight"] = new((1, trunk), 0.5)
            self.dense["head/click/auxiliary/bias"] = new((1,), 0.1)
        if case["linear"]:
            self.dense["linear/text/weight"] = new((1 + CLASSES, VECTOR), 0.3)
        for name, k in heads.items() if case["adapter"] else ():
            units = case["adapter"]
            seen = 2 * k if case["adapter_sees_student"] else k
            self.dense[f"adapter/{name}/0/weight"] = new((units, seen), 0.8)
            self.dense[f"adapter/{name}/0/bias"] = new((units,), 0.3)
            self.dense[f"adapter/{name}/1/weight"] = new((k, units), 0.4)
            self.dense[f"adapter/{name}/1/bias"] = new((k,), 0.2)
        for p in self.parameters().values():
            p.requires_grad_(True)

    def parameters(self):
        tables = {f"{n}/embedding": t for n, t in self.tables.items()}
        return {**self.dense, **tables}

    def adapt(self, name, teacher, student):
        """What the adapter makes of a teacher's logits (B, K)."""
        if not self.case["adapter"]:
            return teacher
        part = {k: self.dense[f"adapter/{name}/{k}"]
                for k in ("0/weight", "0/bias", "1/weight", "1/bias")}
        x = own = teacher
        if self.case["adapter_sees_student"]:
            own = student.detach()
            x = torch.cat([teacher, own], 1)
        hidden = torch.tanh(x @ part["0/weight"].T + part["0/bias"])
        return own + hidden @ part["1/weight"].T + part["1/bias"]

    def forward(self, batch):
        case, d = self.case, self.dense
        pooled = [self.tables["user"][batch["user"]],
                  self.tables["item"][batch["item"]],
                  torch.stack([self.tables["tags"][ids].mean(0)
                               for ids in batch["tags"]])]
        fields = [p[:, :WIDTH] for p in pooled]
        x0 = torch.cat(fields + [batch["text"]], 1)
        x = x0
        for i in range(case["cross"]):
            x = x0 * (x @ d[f"cross/{i}/weight"].T + d[f"cross/{i}/bias"]) + x
        act = {"relu": torch.relu, "tanh": torch.tanh, "gelu": F.gelu,
               "softmax": lambda v: torch.softmax(v, 1)}[case["activation"]]
        for i in range(len(case["hidden"])):
            x = act(x @ d[f"mlp/{i}/weight"].T + d[f"mlp/{i}/bias"])
        if case["fm"]:
            total = sum(fields)
            pairs = (total * total - sum(f * f for f in fields)) / 2
            x = torch.cat([x, pairs], 1)
        trunk = x
        z = [trunk @ d[f"head/{n}/weight"].T + d[f"head/{n}/bias"]
             for n in ("click", "stars")]
        z = torch.cat(z, 1)
        if case["linear"]:
            z = z + sum(p[:, WIDTH:] for p in pooled)
            z = z + batch["text"] @ d["linear/text/weight"].T
        aux = None
        if case["auxiliary"]:
            beta = case["gradient_scale"]
            shared = trunk * beta + (trunk * (1 - beta)).detach()
            aux = (shared @ d["head/click/auxiliary/weight"].T
                   + d["head/click/auxiliary/bias"])
        return z, aux


def hard_losses(click, stars, batch):
    return (F.binary_cross_entropy_with_logits(
                click - torch.log(batch["rate"]), batch["click"],
                reduction="none"),
            F.cross_entropy(stars, batch["stars"], reduction="none"))


def objective(net, z, aux, batch):
    case = net.case
    T = case["temperature"]
    click, stars = z[:, 0], z[:, 1:]
    hard, hard2 = hard_losses(click, stars, batch)
    served = aux[:, 0] if aux is not None else click
    scale = case["label_scale"] if aux is not None else 1.0
    teacher = batch["click_teacher"] + np.log(case["teacher_rate"])
    teacher = net.adapt("click", teacher[:, None], z[:, :1])[:, 0]
    teacher2 = net.adapt("stars", batch["stars_teacher"], stars)
    learned, learned2 = hard_losses(teacher, teacher2, batch)
    teacher, teacher2 = teacher.detach(), teacher2.detach()
    if case["cross_debias"]:
        served = served - torch.log(batch["rate"])
        teacher = teacher - torch.log(batch["rate"])
    if case["distill"] in ("cross_entropy", "kl"):
        label = torch.clamp(scale * torch.sigmoid(teacher / T), max=1.0)
        soft = T * T * F.binary_cross_entropy_with_logits(
            served / T, label, reduction="none")
        q = torch.softmax(teacher2 / T, 1)
        soft2 = T * T * -(q * torch.log_softmax(stars / T, 1)).sum(1)
        if case["distill"] == "kl":
            soft = soft + T * T * (torch.xlogy(label, label)
                                   + torch.xlogy(1 - label, 1 - label))
            soft2 = soft2 + T * T * (q * torch.log(q)).sum(1)
    elif case["distill"] == "logit_mse":
        soft = (served - teacher) ** 2
        soft2 = ((stars - teacher2) ** 2).sum(1)
    else:
        label = torch.clamp(scale * torch.sigmoid(teacher), max=1.0)
        soft = (torch.sigmoid(served) - label) ** 2
        soft2 = ((torch.softmax(stars, 1)
                  - torch.softmax(teacher2, 1)) ** 2).sum(1)
    w = batch["weight"]
    has = batch["has_click"]
    parts = ((hard * w * has).sum() / has.sum(), (hard2 * w).mean())
    soft_parts = ((soft * w).mean(), (soft2 * w).mean())
    total = (case["hard_weight"] * sum(parts)
             + case["soft_weight"] * sum(soft_parts))
    if case["adapter"]:
        total = (total + (learned * w * has).sum() / has.sum()
                 + (learned2 * w).mean())
    return total


def make_batch(g):
    def uniform(*shape):
        return torch.rand(shape, generator=g) * 2 - 1

    def ids(top, *shape):
        return torch.randint(0, top + 1, shape, generator=g)

    counts = torch.randint(1, 4, (BATCH,), generator=g)
    has_click = (uniform(BATCH) > -0.5).float()
    has_click[0] = 1.0
    return {
        "user": ids(USERS, BATCH), "item": ids(ITEMS, BATCH),
        "tags": [ids(TAGS, int(n)) for n in counts],
        "text": uniform(BATCH, VECTOR),
        "click": (uniform(BATCH) > 0).float(), "has_click": has_click,
        "stars": torch.randint(0, CLASSES, (BATCH,), generator=g),
        "click_teacher": 2 * uniform(BATCH),
        "stars_teacher": 2 * uniform(BATCH, CLASSES),
        "weight": 1 + 0.5 * uniform(BATCH),
        "rate": torch.where(uniform(BATCH) > 0.3, 0.25, 1.0),
    }


class Optimizer:
    """The engine's rules by torch.optim, but for lazy Adam on tables."""

    def __init__(self, case, net):
        self.net, self.case, self.t = net, case, 0
        rate, l2 = case["rate"], case["l2"]
        kinds = {"sgd": lambda p: torch.optim.SGD(p, rate, weight_decay=l2),
                 "adagrad": lambda p: torch.optim.Adagrad(
                     p, rate, eps=1e-8, weight_decay=l2,
                     initial_accumulator_value=case["accumulator"]),
                 "adam": lambda p: torch.optim.Adam(
                     p, rate, eps=1e-8, weight_decay=l2)}
        self.dense = kinds[case["optimizer"]](list(net.dense.values()))
        self.tables = None
        if case["optimizer"] != "adam" and l2 == 0:
            self.tables = kinds[case["optimizer"]](list(net.tables.values()))
        self.m = {n: torch.zeros_like(t) for n, t in net.tables.items()}
        self.v = {n: torch.zeros_like(t) for n, t in net.tables.items()}

    def step(self):
        self.t += 1
        if self.case["clip"] > 0:
            torch.nn.utils.clip_grad_norm_(self.net.dense.values(),
                                           self.case["clip"])
        self.dense.step()
        if self.tables is not None:
            self.tables.step()
            return
        assert self.case["optimizer"] == "adam" and self.case["l2"] == 0
        for name, w in self.net.tables.items():
            touched = w.grad.abs().sum(1) > 0
            g, m, v = w.grad[touched], self.m[name], self.v[name]
            m[touched] = 0.9 * m[touched] + 0.1 * g
            v[touched] = 0.999 * v[touched] + 0.001 * g * g
            mean = m[touched] / (1 - 0.9 ** self.t)
            root = torch.sqrt(v[touched] / (1 - 0.999 ** self.t))
            with torch.no_grad():
                w[touched] -= self.case["rate"] * mean / (root + 1e-8)

    def zero(self):
        for p in self.net.parameters().values():
            p.grad = None


BASE = {"cross": 0, "hidden": [6, 5], "fm": False, "linear": False,
        "auxiliary": False, "activation": "relu", "optimizer": "sgd",
        "rate": 0.1, "l2": 0.0, "clip": 0.0, "accumulator": 0.0,
        "hard_weight": 1.0, "soft_weight": 0.5, "distill": "cross_entropy",
        "temperature": 1.0, "label_scale": 1.0, "gradient_scale": 1.0,
        "adapter": 0, "adapter_sees_student": False, "cross_debias": False,
        "teacher_rate": 1.0}
CASES = {
    "plain_sgd": {},
    "everything_sgd": {"cross": 2, "fm": True, "linear": True,
                       "auxiliary": True, "activation": "tanh",
                       "distill": "kl", "temperature": 3.0,
                       "label_scale": 1.4, "gradient_scale": 2.0},
    "everything_adagrad": {"cross": 1, "fm": True, "linear": True,
                           "auxiliary": True, "activation": "gelu",
                           "optimizer": "adagrad", "accumulator": 0.1,
                           "distill": "logit_mse", "clip": 0.5},
    "everything_adam": {"cross": 1, "fm": True, "linear": True,
                        "optimizer": "adam", "rate": 0.02,
                        "distill": "probability_mse"},
    "soft_only_fm": {"hidden": [], "fm": True, "linear": True,
                     "optimizer": "adagrad", "accumulator": 0.1,
                     "hard_weight": 0.0, "soft_weight": 1.0,
                     "temperature": 2.0},
    "debiased_sgd": {"cross_debias": True, "teacher_rate": 0.3,
                     "distill": "kl", "temperature": 2.0},
    "adapted_sgd": {"adapter": 5, "cross_debias": True, "auxiliary": True,
                    "label_scale": 1.2, "distill": "probability_mse",
                    "soft_weight": 0.8},
    "adapted_adagrad": {"adapter": 8, "teacher_rate": 0.5, "hard_weight": 0.2,
                        "soft_weight": 0.8, "optimizer": "adagrad",
                        "accumulator": 0.1, "temperature": 2.0},
    "adapted_to_student": {"adapter": 6, "adapter_sees_student": True,
                           "auxiliary": True, "fm": True, "linear": True,
                           "label_scale": 1.2},
    "softmax_hidden": {"activation": "softmax", "optimizer": "adagrad",
                       "accumulator": 0.1, "temperature": 2.0},
}


def batch_json(batch):
    ends = np.cumsum([0] + [len(t) for t in batch["tags"]])
    return {
        "user": batch["user"].tolist(), "item": batch["item"].tolist(),
        "tags": torch.cat(batch["tags"]).tolist(),
        "tags_offsets": ends.tolist(), "text": floats(batch["text"]),
        "click": batch["click"].tolist(),
        "has_click": batch["has_click"].tolist(),
        "stars": batch["stars"].tolist(),
        "click_teacher": floats(batch["click_teacher"]),
        "stars_teacher": floats(batch["stars_teacher"]),
        "weight": floats(batch["weight"]), "rate": floats(batch["rate"]),
    }


def make_case(name, changes):
    case = {**BASE, **changes}
    net = Net(case, seed=len(name))
    start = {n: floats(p) for n, p in net.parameters().items()}
    batches = [make_batch(torch.Generator().manual_seed(100 + i))
               for i in range(10)]
    optimizer = Optimizer(case, net)
    curve, first = [], None
    for batch in batches:
        optimizer.zero()
        z, aux = net.forward(batch)
        loss = objective(net, z, aux, batch)
        loss.backward()
        curve.append(float(loss.detach()))
        if first is None:
            norm = sum(float((p.grad.double() ** 2).sum())
                       for p in net.dense.values()) ** 0.5
            first = {"logits": floats(z), "gradient_norm": norm,
                     "gradients": {n: floats(p.grad)
                                   for n, p in net.parameters().items()}}
        optimizer.step()
        if "weights" not in first:
            first["weights"] = {n: floats(p)
                                for n, p in net.parameters().items()}
    return {"name": name, **case, "start": start, "first": first,
            "losses": curve, "batches": [batch_json(b) for b in batches]}


def fixtures():
    cases = [make_case(n, c) for n, c in CASES.items()]
    batches = cases[0]["batches"]
    for case in cases:
        assert case.pop("batches") == batches
    out = ROOT / "fixtures" / "model.json"
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps({"batches": batches, "cases": cases},
                              separators=(",", ":")) + "\n")


# ---- The textbook program: two dense layers of 10 with softmax ----

EVENTS, INPUTS, HIDDEN, LABELS, ROWS, PASSES = 640, 100, 10, 10, 32, 5


def safetensors(path, tensors):
    """Writes the format by hand: length, JSON, data."""
    header, data = {}, b""
    for name, t in tensors.items():
        raw = t.detach().to(torch.float32).numpy().astype("<f4").tobytes()
        header[name] = {"dtype": "F32", "shape": list(t.shape),
                        "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def dense_start(seed):
    g = torch.Generator().manual_seed(seed)

    def new(rows, columns):
        return (torch.rand((rows, columns), generator=g) * 2 - 1) * (
            6 / (rows + columns)) ** 0.5

    return {"mlp/0/weight": new(HIDDEN, INPUTS),
            "mlp/0/bias": torch.zeros(HIDDEN),
            "head/label/weight": new(LABELS, HIDDEN),
            "head/label/bias": torch.zeros(LABELS)}


def dense_forward(w, x):
    h = torch.softmax(x @ w["mlp/0/weight"].T + w["mlp/0/bias"], 1)
    return h @ w["head/label/weight"].T + w["head/label/bias"]


def dense_train(start, x, y, soft, hard_weight, soft_weight, rate):
    w = {n: t.clone().requires_grad_(True) for n, t in start.items()}
    adam = torch.optim.Adam(list(w.values()), rate)
    losses = []
    for _ in range(PASSES):
        for at in range(0, EVENTS, ROWS):
            rows = slice(at, at + ROWS)
            z = dense_forward(w, x[rows])
            hard = F.cross_entropy(z, y[rows])
            q = torch.softmax(soft[rows], 1)
            taught = -(q * torch.log_softmax(z, 1)).sum(1).mean()
            total = hard_weight * hard + soft_weight * taught
            adam.zero_grad()
            total.backward()
            adam.step()
            losses.append({"hard": float(hard.detach()), "soft": float(taught.detach()),
                           "total": float(total.detach())})
    return losses, w


def dense_softmax():
    out = ROOT / "dense-softmax"
    out.mkdir(parents=True, exist_ok=True)
    g = torch.Generator().manual_seed(7)
    centers = torch.randn((LABELS, INPUTS), generator=g)
    y = torch.randint(0, LABELS, (EVENTS,), generator=g)
    x = centers[y] * 0.4 + torch.randn((EVENTS, INPUTS), generator=g)
    x = torch.round(x * 256) / 256  # short in JSON, exact in float
    teacher, student = dense_start(1), dense_start(2)
    _, learned = dense_train(teacher, x, y, torch.zeros(EVENTS, LABELS),
                             1.0, 0.0, 0.05)
    soft = dense_forward(learned, x).detach()
    soft = torch.round(soft * 4096) / 4096
    safetensors(out / "teacher.safetensors", teacher)
    safetensors(out / "student.safetensors", student)
    with open(out / "events.ndjson.gz", "wb") as raw, \
            gzip.GzipFile("", "wb", 9, raw, mtime=0) as f:
        for i in range(EVENTS):
            event = {"id": f"e{i}", "time": 1700000000000 + i * 1000,
                     "x": x[i].tolist(), "label": int(y[i]),
                     "teacher": soft[i].tolist()}
            f.write((json.dumps(event, separators=(",", ":")) + "\n").encode())
    runs = {}
    zero = torch.zeros(EVENTS, LABELS)
    for name, hard, weight in (("soft_only", 0.0, 1.0),
                               ("hard_and_half_soft", 1.0, 0.5)):
        runs[name] = dense_train(student, x, y, soft, hard, weight, 0.01)[0]
    runs["teacher"], learned = dense_train(teacher, x, y, zero, 1.0, 0.0, 0.01)
    # All of it, as in conf/examples: taught by that teacher.
    soft = dense_forward(learned, x).detach()
    for name, hard, weight in (("taught_soft_only", 0.0, 1.0),
                               ("taught_hard_and_half_soft", 1.0, 0.5)):
        runs[name] = dense_train(student, x, y, soft, hard, weight, 0.01)[0]
    text = json.dumps({"batch": ROWS, "passes": PASSES, "rate": 0.01,
                       "beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8,
                       "runs": runs}, indent=1)
    (out / "losses.json").write_text(text + "\n")


if __name__ == "__main__":
    wanted = sys.argv[1:] or ["fixtures", "dense-softmax"]
    if "fixtures" in wanted:
        fixtures()
    if "dense-softmax" in wanted:
        dense_softmax()
