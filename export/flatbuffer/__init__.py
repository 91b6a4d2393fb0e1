"""The model file: conversion, binding of weights, scheduling, constants."""
