// What shim.c calls of libLiteRt.so (ai-edge-litert 2.3): own declarations, no header comes with it.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef int Status;  // 0: done
typedef struct LiteRtEnvironmentT *Environment;
typedef struct LiteRtModelT *Model;
typedef struct LiteRtOptionsT *Options;
typedef struct LiteRtOpaqueOptionsT *OpaqueOptions;
typedef struct LiteRtCompiledModelT *CompiledModel;
typedef struct LiteRtSignatureT *Signature;
typedef struct LiteRtTensorT *Tensor;
typedef struct LiteRtTensorBufferT *Buffer;
typedef struct LiteRtTensorBufferRequirementsT *Requirements;

typedef struct {
  int tag;
  struct {
    int type;  // 2: a whole number
    union { int64_t number; const void *pointer; } value;
  } any;
} EnvironmentOption;
enum { ACCELERATORS = 24, LEAST_SEVERITY = 25, WHOLE_NUMBER = 2, CPU = 1, ERROR_SEVERITY = 3 };
enum { LOCK_READ = 0, LOCK_WRITE = 1 };

typedef struct {
  int element_type;
  struct { unsigned rank : 7, has_strides : 1; int32_t dimensions[8]; uint32_t strides[8]; } layout;
} TensorType;
_Static_assert(sizeof(EnvironmentOption) == 24 && sizeof(TensorType) == 72, "libLiteRt.so's sizes");

Status LiteRtCreateEnvironment(int count, const EnvironmentOption *, Environment *);
Status LiteRtCreateModelFromFile(Environment, const char *path, Model *);
void LiteRtDestroyModel(Model);
Status LiteRtCreateOptions(Options *);
void LiteRtDestroyOptions(Options);
Status LiteRtSetOptionsHardwareAccelerators(Options, int set);
Status LiteRtCreateOpaqueOptions(const char *id, void *text, void (*)(void *), OpaqueOptions *);
Status LiteRtAddOpaqueOptions(Options, OpaqueOptions);
Status LiteRtCreateCompiledModel(Environment, Model, Options, CompiledModel *);
void LiteRtDestroyCompiledModel(CompiledModel);
Status LiteRtRunCompiledModel(CompiledModel, size_t, size_t, Buffer *, size_t, Buffer *);
Status LiteRtGetNumModelSignatures(Model, size_t *);
Status LiteRtGetModelSignature(Model, size_t, Signature *);
Status LiteRtGetSignatureKey(Signature, const char **);
Status LiteRtGetNumSignatureInputs(Signature, size_t *);
Status LiteRtGetNumSignatureOutputs(Signature, size_t *);
Status LiteRtGetSignatureInputName(Signature, size_t, const char **);
Status LiteRtGetSignatureOutputName(Signature, size_t, const char **);
Status LiteRtGetSignatureInputTensorByIndex(Signature, size_t, Tensor *);
Status LiteRtGetSignatureOutputTensorByIndex(Signature, size_t, Tensor *);
Status LiteRtGetRankedTensorType(Tensor, TensorType *);
Status LiteRtGetCompiledModelInputBufferRequirements(CompiledModel, size_t, size_t, Requirements *);
Status LiteRtGetCompiledModelOutputBufferRequirements(CompiledModel, size_t, size_t, Requirements *);
Status LiteRtCreateManagedTensorBufferFromRequirements(
    Environment, const TensorType *, Requirements, Buffer *);
void LiteRtDestroyTensorBuffer(Buffer);
Status LiteRtGetTensorBufferPackedSize(Buffer, size_t *);
Status LiteRtLockTensorBuffer(Buffer, void **, int mode);
Status LiteRtUnlockTensorBuffer(Buffer);
