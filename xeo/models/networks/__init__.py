"""Forward passes of the networks that the models here run, as functions of named tensors."""
