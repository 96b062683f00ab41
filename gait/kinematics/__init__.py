"""Gait events, joint angles, gait cycles and spatio-temporal parameters of joints and poses."""
