"""rl-tools' C++ (the paper's) for on_chip.py, from a checkout that the user has: --rl-tools DIR.

Its own exporter writes a network of the same shape with random weights and its FAST_TANH, its own ARM
operations run it; so there is no error to compare, and its tanh is off by 2.4e-2 on purpose.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

from tinyfly.policy import Policy

_GENERATE = """
#include <rl_tools/operations/cpu.h>
#include <rl_tools/numeric_types/persist_code.h>
#include <rl_tools/containers/matrix/persist_code.h>
#include <rl_tools/containers/tensor/persist_code.h>
#include <rl_tools/nn/optimizers/adam/instance/persist_code.h>
#include <rl_tools/nn/layers/dense/operations_cpu.h>
#include <rl_tools/nn/parameters/persist_code.h>
#include <rl_tools/nn/layers/dense/persist_code.h>
#include <rl_tools/nn_models/mlp/operations_generic.h>
#include <rl_tools/nn_models/mlp/persist_code.h>
#include <iostream>
namespace rlt = rl_tools;
int main() {
    using Device = rlt::devices::DefaultCPU;
    using Index = Device::index_t;
    using Number = rlt::numeric_types::Policy<float>;
    constexpr auto tanh = rlt::nn::activation_functions::ActivationFunction::FAST_TANH;
    using Settings = rlt::nn_models::mlp::Configuration<Number, Index, 4, LAYERS, WIDTH, tanh, tanh>;
    using Network = rlt::nn_models::mlp::NeuralNetwork<Settings, rlt::nn::capability::Forward<>,
                                                       rlt::tensor::Shape<Index, 1, 1, INPUTS_>>;
    Device device;
    Device::SPEC::RANDOM::ENGINE<> rng;
    Network network;
    rlt::malloc(device, rng);
    rlt::init(device, rng, 0);
    rlt::malloc(device, network);
    rlt::init_weights(device, network, rng);
    std::cout << rlt::save_code(device, network, std::string("policy"), true);
}
"""

_BENCH = """
#include <rl_tools/operations/arm.h>
#include <rl_tools/nn/layers/dense/operations_arm/opt.h>
#include <rl_tools/nn_models/mlp/operations_generic.h>
#include "rl_tools_policy.h"
namespace rlt = rl_tools;
using Device = rlt::devices::DefaultARM;
using Index = unsigned long;
template <Index N>
using Vector = rlt::Tensor<rlt::tensor::Specification<float, Index, rlt::tensor::Shape<Index, 1, N>, true>>;
extern "C" {
float bench_input[INPUTS_], bench_action[4];
void bench_step(void);
}
static Device device;
static Device::SPEC::RANDOM::ENGINE<> rng;
static policy::TYPE::template Buffer<false> buffer;
void bench_step(void) {
    Vector<INPUTS_> input{bench_input};
    Vector<4> output{bench_action};
    rlt::evaluate(device, policy::module, input, output, buffer, rng);
}
"""

FLAGS = "-std=c++17 -w -fno-exceptions -fno-rtti -fno-threadsafe-statics"


def supports(policy: Policy) -> bool:
    """rl-tools' network has hidden layers of one width."""
    return len({layer.bias.size for layer in policy.layers[:-1]}) == 1


def sources(policy: Policy, folder: Path, checkout: Path) -> list[Path]:
    """Write, compile and run the generator; returns what to compile for the chip."""
    shape = {
        "INPUTS_": policy.contract.size,
        "LAYERS": len(policy.layers),
        "WIDTH": policy.layers[0].bias.size,
    }
    defines = "".join(f"#define {name} {value}\n" for name, value in shape.items())
    (folder / "generate.cpp").write_text(_GENERATE.replace("int main", f"{defines}int main"))
    include = f"-I{checkout / 'include'}"
    command = ["g++", "-std=c++17", "-w", include, "generate.cpp", "-o", "generate"]
    subprocess.run(command, cwd=folder, check=True)
    text = subprocess.run(["./generate"], cwd=folder, capture_output=True, text=True, check=True).stdout
    (folder / "rl_tools_policy.h").write_text(text)
    (folder / "bench.cpp").write_text(_BENCH.replace("using Index", f"{defines}using Index", 1))
    return [folder / "bench.cpp"]
