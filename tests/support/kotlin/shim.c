// The natives of the stand-ins in litert/, on the wheel's libLiteRt.so: for a JVM on the desktop.
#include <jni.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/litert_api.h"

#define NATIVE(type, name) JNIEXPORT type JNICALL Java_com_google_ai_edge_litert_##name
#define REQUIRE(call, result) \
  do { \
    if (failed(jni, call, #call)) return result; \
  } while (0)

typedef struct {
  LiteRtEnvironment environment;
  LiteRtModel model;
  LiteRtCompiledModel compiled;
} Opened;

// A signature of a model: its tensors, by name.
typedef struct {
  LiteRtSignature signature;
  long index;
} Place;

static bool failed(JNIEnv *jni, LiteRtStatus status, const char *what) {
  if (!status) return false;
  char text[300];
  snprintf(text, sizeof text, "%s: status %d", what, status);
  (*jni)->ThrowNew(jni, (*jni)->FindClass(jni, "com/google/ai/edge/litert/LiteRtException"), text);
  return true;
}

static LiteRtStatus count_of(LiteRtSignature signature, bool is_input, size_t *count) {
  return is_input ? LiteRtGetNumSignatureInputs(signature, count)
                  : LiteRtGetNumSignatureOutputs(signature, count);
}

static long tensor_index(JNIEnv *jni, LiteRtSignature signature, jstring name, bool is_input) {
  const char *text = (*jni)->GetStringUTFChars(jni, name, NULL), *other;
  size_t count = 0;
  long index = -1;
  count_of(signature, is_input, &count);
  for (size_t i = 0; i < count && index < 0; i++) {
    LiteRtStatus status = is_input ? LiteRtGetSignatureInputName(signature, i, &other)
                             : LiteRtGetSignatureOutputName(signature, i, &other);
    if (!status && !strcmp(other, text)) index = (long)i;
  }
  (*jni)->ReleaseStringUTFChars(jni, name, text);
  if (index < 0) failed(jni, 6, "tensor of this name");
  return index;
}

static Place place_of(JNIEnv *jni, LiteRtModel model, jstring key) {
  const char *text = (*jni)->GetStringUTFChars(jni, key, NULL), *other;
  size_t count = 0;
  Place place = {NULL, -1};
  LiteRtGetNumModelSignatures(model, &count);
  for (size_t i = 0; i < count && place.index < 0; i++) {
    LiteRtGetModelSignature(model, i, &place.signature);
    LiteRtGetSignatureKey(place.signature, &other);
    if (!strcmp(other, text)) place.index = (long)i;
  }
  (*jni)->ReleaseStringUTFChars(jni, key, text);
  if (place.index < 0) failed(jni, 6, "signature of this name");
  return place;
}

static char *options_text(JNIEnv *jni, jint threads, jint flags, jstring packed) {
  char *text = calloc(1, 5000);
  int end = sprintf(text, "num_threads = %d\n", threads);
  if (flags >= 0) end += sprintf(text + end, "flags = %d\n", flags);
  if (packed) {
    const char *path = (*jni)->GetStringUTFChars(jni, packed, NULL);
    snprintf(text + end, 4800, "weight_cache_file_path = \"%s\"\n", path);
    (*jni)->ReleaseStringUTFChars(jni, packed, path);
  }
  return text;
}

NATIVE(jlong, CompiledModel_nativeCreate)
(JNIEnv *jni, jclass self, jstring path, jint threads, jint flags, jstring packed) {
  const LiteRtEnvOption quiet[] = {{LITERT_LOG_SEVERITY, {LITERT_ANY_INTEGER, {LITERT_LOG_ERRORS}}},
                                   {LITERT_ACCELERATORS, {LITERT_ANY_INTEGER, {LITERT_CPU}}}};
  static LiteRtEnvironment environment;  // one a process, never destroyed
  if (!environment) REQUIRE(LiteRtCreateEnvironment(2, quiet, &environment), 0);
  Opened *opened = calloc(1, sizeof *opened);
  opened->environment = environment;
  const char *file = (*jni)->GetStringUTFChars(jni, path, NULL);
  LiteRtStatus status = LiteRtCreateModelFromFile(environment, file, &opened->model);
  (*jni)->ReleaseStringUTFChars(jni, path, file);
  REQUIRE(status, 0);
  LiteRtOptions options;
  LiteRtOpaqueOptions kernels;
  REQUIRE(LiteRtCreateOptions(&options), 0);
  REQUIRE(LiteRtSetOptionsHardwareAccelerators(options, LITERT_CPU), 0);
  char *text = options_text(jni, threads, flags, packed);
  REQUIRE(LiteRtCreateOpaqueOptions("xnnpack", text, free, &kernels), 0);
  REQUIRE(LiteRtAddOpaqueOptions(options, kernels), 0);
  status = LiteRtCreateCompiledModel(environment, opened->model, options, &opened->compiled);
  LiteRtDestroyOptions(options);
  REQUIRE(status, 0);
  return (jlong)opened;
}

NATIVE(void, CompiledModel_nativeDestroy)(JNIEnv *jni, jclass self, jlong handle) {
  Opened *opened = (Opened *)handle;
  LiteRtDestroyCompiledModel(opened->compiled);
  LiteRtDestroyModel(opened->model);
  free(opened);
}

NATIVE(jlong, CompiledModel_nativeCreateBuffer)
(JNIEnv *jni, jclass self, jlong handle, jstring key, jstring name, jboolean is_input) {
  Opened *opened = (Opened *)handle;
  Place place = place_of(jni, opened->model, key);
  if (place.index < 0) return 0;
  long index = tensor_index(jni, place.signature, name, is_input);
  if (index < 0) return 0;
  LiteRtTensor tensor;
  LiteRtRankedTensorType type;
  LiteRtTensorBufferRequirements needs;
  LiteRtTensorBuffer buffer;
  REQUIRE(is_input ? LiteRtGetSignatureInputTensorByIndex(place.signature, index, &tensor)
                   : LiteRtGetSignatureOutputTensorByIndex(place.signature, index, &tensor), 0);
  REQUIRE(LiteRtGetRankedTensorType(tensor, &type), 0);
  LiteRtCompiledModel compiled = opened->compiled;
  REQUIRE(is_input
      ? LiteRtGetCompiledModelInputBufferRequirements(compiled, place.index, index, &needs)
      : LiteRtGetCompiledModelOutputBufferRequirements(compiled, place.index, index, &needs), 0);
  REQUIRE(LiteRtCreateManagedTensorBufferFromRequirements(
      opened->environment, &type, needs, &buffer), 0);
  return (jlong)buffer;
}

// Returns the buffers in the signature's own order, NULL where one is missing.
static LiteRtTensorBuffer *in_order(JNIEnv *jni, LiteRtSignature signature, bool is_input,
                                    jobjectArray names, jlongArray handles, size_t *count) {
  if (failed(jni, count_of(signature, is_input, count), "number of tensors")) return NULL;
  if (*count != (size_t)(*jni)->GetArrayLength(jni, names)) {
    failed(jni, 1, "as many tensors as the signature has");
    return NULL;
  }
  LiteRtTensorBuffer *buffers = calloc(*count + 1, sizeof *buffers);
  jlong *values = (*jni)->GetLongArrayElements(jni, handles, NULL);
  for (size_t i = 0; i < *count; i++) {
    jstring name = (*jni)->GetObjectArrayElement(jni, names, (jsize)i);
    long index = tensor_index(jni, signature, name, is_input);
    (*jni)->DeleteLocalRef(jni, name);
    if (index < 0) break;
    buffers[index] = (LiteRtTensorBuffer)values[i];
  }
  (*jni)->ReleaseLongArrayElements(jni, handles, values, JNI_ABORT);
  return buffers;
}

NATIVE(void, CompiledModel_nativeRun)
(JNIEnv *jni, jclass self, jlong handle, jstring key, jobjectArray input_names, jlongArray inputs,
 jobjectArray output_names, jlongArray outputs) {
  Opened *opened = (Opened *)handle;
  Place place = place_of(jni, opened->model, key);
  if (place.index < 0) return;
  size_t input_count, output_count;
  LiteRtTensorBuffer *output_buffers = NULL;
  LiteRtTensorBuffer *input_buffers =
      in_order(jni, place.signature, true, input_names, inputs, &input_count);
  if (!(*jni)->ExceptionCheck(jni))
    output_buffers = in_order(jni, place.signature, false, output_names, outputs, &output_count);
  if (!(*jni)->ExceptionCheck(jni))
    failed(jni, LiteRtRunCompiledModel(opened->compiled, place.index, input_count, input_buffers,
                                       output_count, output_buffers), "LiteRtRunCompiledModel");
  free(input_buffers);
  free(output_buffers);
}

NATIVE(void, TensorBuffer_nativeDestroy)(JNIEnv *jni, jclass self, jlong handle) {
  LiteRtDestroyTensorBuffer((LiteRtTensorBuffer)handle);
}

// Returns the buffer's memory, locked, NULL where it has another number of values than an array.
static void *locked(JNIEnv *jni, LiteRtTensorBuffer buffer, jsize count) {
  size_t bytes;
  void *memory;
  REQUIRE(LiteRtGetTensorBufferPackedSize(buffer, &bytes), NULL);
  if (bytes != 4 * (size_t)count) {
    failed(jni, 1, "as many values as the tensor has");
    return NULL;
  }
  REQUIRE(LiteRtLockTensorBuffer(buffer, &memory, LITERT_WRITE), NULL);
  return memory;
}

NATIVE(void, TensorBuffer_nativeWriteInt)(JNIEnv *jni, jclass self, jlong handle, jintArray data) {
  jsize count = (*jni)->GetArrayLength(jni, data);
  void *memory = locked(jni, (LiteRtTensorBuffer)handle, count);
  if (!memory) return;
  (*jni)->GetIntArrayRegion(jni, data, 0, count, memory);
  LiteRtUnlockTensorBuffer((LiteRtTensorBuffer)handle);
}

NATIVE(void, TensorBuffer_nativeWriteFloat)
(JNIEnv *jni, jclass self, jlong handle, jfloatArray data) {
  jsize count = (*jni)->GetArrayLength(jni, data);
  void *memory = locked(jni, (LiteRtTensorBuffer)handle, count);
  if (!memory) return;
  (*jni)->GetFloatArrayRegion(jni, data, 0, count, memory);
  LiteRtUnlockTensorBuffer((LiteRtTensorBuffer)handle);
}

NATIVE(jfloatArray, TensorBuffer_nativeReadFloat)(JNIEnv *jni, jclass self, jlong handle) {
  size_t bytes;
  void *memory;
  REQUIRE(LiteRtGetTensorBufferPackedSize((LiteRtTensorBuffer)handle, &bytes), NULL);
  jfloatArray data = (*jni)->NewFloatArray(jni, (jsize)(bytes / 4));
  if (!data) return NULL;
  REQUIRE(LiteRtLockTensorBuffer((LiteRtTensorBuffer)handle, &memory, LITERT_READ), NULL);
  (*jni)->SetFloatArrayRegion(jni, data, 0, (jsize)(bytes / 4), memory);
  LiteRtUnlockTensorBuffer((LiteRtTensorBuffer)handle);
  return data;
}
