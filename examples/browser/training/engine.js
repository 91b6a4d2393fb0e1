// The only file that knows LiteRT.js. It calls the WebAssembly module's own bindings (`LiteRtWasm`
// in the types of @litertjs/core): the package's front end loads scripts through a document or a
// bare import, which neither a worker nor Node has.

import { InputError, RunError, lineOf } from './errors.js'

// Without relaxed SIMD, whose results differ by processor: a run has the same bits everywhere.
export const BUILD = 'litert_wasm_compat_internal'

/** A model, open; signatures are called by name. */
export class Engine {
  #module
  #compiled
  #model
  #environment
  #signatures = new Map()
  #inputs = new Map()

  /**
   * @param factory what the script BUILD.js defines as ModuleFactory
   * @param locate file of the package → its address
   * @param bytes of model.tflite
   */
  static async open(factory, locate, bytes) {
    const engine = new Engine()
    try {
      const module = await factory({ locateFile: locate, print: () => {}, printErr: () => {} })
      engine.#module = module
      engine.#environment = module.LiteRtEnvironment.create(null)
      const pointer = module._malloc(bytes.length) // stays: the module reads the weights there
      if (!pointer) throw new RunError(`no memory for a model of ${bytes.length} bytes`)
      module.HEAPU8.set(bytes, pointer)
      engine.#model = module.loadModel(engine.#environment, pointer, bytes.length)
      engine.#listSignatures()
      engine.#compiled = await module.compileModel(
        engine.#environment, engine.#model, { accelerator: 'wasm' })
    } catch (error) {
      throw new RunError(`LiteRT.js cannot open the model: ${lineOf(error)}`)
    }
    return engine
  }

  /** Bytes of the WebAssembly memory. */
  get heapBytes() {
    return this.#module.HEAPU8.length
  }

  has(signature) {
    return this.#signatures.has(signature)
  }

  /**
   * Calls a signature.
   *
   * @param signature its name
   * @param arguments_ {input: Int32Array or Float32Array} of all its inputs
   * @returns {Object<string, Float32Array>} {output: its values}, copies
   */
  async run(signature, arguments_ = {}) {
    const { index, inputs, outputs } = this.#signatures.get(signature) ?? this.#missing(signature)
    const buffers = this.#buffers(signature)
    for (const [place, name] of inputs.entries()) {
      this.#fill(buffers[place], arguments_[name], `${name} of ${signature}`)
    }
    const results = await this.#compiled.run(index, buffers)
    return Object.fromEntries(outputs.map((name, place) => [name, this.#read(results[place])]))
  }

  /** Lets the memory of a signature's inputs go until its next call. */
  release(signature) {
    for (const buffer of this.#inputs.get(signature) ?? []) buffer.delete()
    this.#inputs.delete(signature)
  }

  #missing(signature) {
    throw new InputError(`model.tflite: no signature '${signature}', which bundle.json names; ` +
      'export the bundle again with `pocketllm export`')
  }

  #listSignatures() {
    for (let index = 0; index < this.#model.getNumSignatures(); index++) {
      const signature = this.#model.getSignature(index)
      const [inputs, outputs] = [strings(signature.inputNames()), strings(signature.outputNames())]
      this.#signatures.set(signature.key(), { index, inputs, outputs })
      signature.delete()
    }
  }

  #buffers(signature) {
    if (!this.#inputs.has(signature)) {
      const { index, inputs } = this.#signatures.get(signature)
      this.#inputs.set(signature, inputs.map((_, place) => {
        const type = this.#model.getInputTensorType(index, place)
        const memory = this.#module.LiteRtTensorBufferType.HOST_MEMORY
        const buffer = this.#module.LiteRtTensorBuffer.createManaged(
          this.#environment, memory, type, type.bytes())
        type.delete()
        return buffer
      }))
    }
    return this.#inputs.get(signature)
  }

  #fill(buffer, values, place) {
    if (values?.byteLength !== buffer.packedSize()) {
      throw new RunError(`${place} takes ${buffer.packedSize() / 4} numbers, not ${values?.length}`)
    }
    const pointer = buffer.lock(this.#module.LiteRtTensorBufferLockMode.WRITE)
    const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength)
    this.#module.HEAPU8.set(bytes, pointer)
    buffer.unlock()
  }

  #read(buffer) {
    const pointer = buffer.lock(this.#module.LiteRtTensorBufferLockMode.READ)
    const bytes = this.#module.HEAPU8.slice(pointer, pointer + buffer.packedSize())
    buffer.unlock()
    buffer.delete()
    return new Float32Array(bytes.buffer)
  }
}

function strings(vector) {
  const list = Array.from({ length: vector.size() }, (_, i) => vector.get(i))
  vector.delete()
  return list
}
