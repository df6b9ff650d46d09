"""The Jacobian near an image: isotropy, Lipschitz constants, activation regions."""
