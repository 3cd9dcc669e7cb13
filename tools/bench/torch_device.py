"""Where PyTorch computes. On a GPU in float32 throughout, as ours does: TF32, which cuDNN would take by default, rounds factors to 10 bits."""
import torch


def use(device):
    """Tensors and modules that are made from here on lie there. Its name, for people."""
    torch.set_default_device(device)
    if device == "cpu":
        return "CPU"
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    return f"{torch.cuda.get_device_name(device)}, float32"


def name():
    return str(torch.get_default_device())


def synchronise():
    """A GPU works on when a call has returned."""
    if name() != "cpu":
        torch.cuda.synchronize()
