package com.google.ai.edge.litert

class CompiledModel private constructor(handle: Long) : JniHandle(handle) {
    data class CpuOptions(
        val numThreads: Int? = null,
        val xnnPackFlags: Int? = null,
        val xnnPackWeightCachePath: String? = null,
    )

    data class GpuOptions(val precision: Precision? = null) {
        enum class Precision(val value: Int) { DEFAULT(0), FP16(1), FP32(2) }
    }

    class Options(internal vararg val accelerators: Accelerator) {
        var cpuOptions: CpuOptions? = null
        var gpuOptions: GpuOptions? = null

        companion object {
            @JvmStatic val CPU = Options(Accelerator.CPU)
        }
    }

    @Throws(LiteRtException::class)
    fun createInputBuffer(inputName: String, signature: String? = null): TensorBuffer {
        checkOpen()
        return TensorBuffer(nativeCreateBuffer(handle, signature!!, inputName, true))
    }

    @Throws(LiteRtException::class)
    fun createOutputBuffer(outputName: String, signature: String? = null): TensorBuffer {
        checkOpen()
        return TensorBuffer(nativeCreateBuffer(handle, signature!!, outputName, false))
    }

    @Throws(LiteRtException::class)
    fun run(
        inputs: Map<String, TensorBuffer>,
        outputs: Map<String, TensorBuffer>,
        signature: String? = null,
    ) {
        checkOpen()
        (inputs.values + outputs.values).forEach { it.checkOpen() }
        nativeRun(
            handle,
            signature!!,
            inputs.keys.toTypedArray(),
            inputs.values.map { it.handle }.toLongArray(),
            outputs.keys.toTypedArray(),
            outputs.values.map { it.handle }.toLongArray(),
        )
    }

    override fun destroy() = nativeDestroy(handle)

    companion object {
        init {
            System.loadLibrary("litert_jni")
        }

        @Throws(LiteRtException::class)
        @JvmOverloads
        @JvmStatic
        fun create(filePath: String, options: Options = Options.CPU): CompiledModel {
            require(options.accelerators.toList() == listOf(Accelerator.CPU)) { "only the CPU" }
            val cpu = options.cpuOptions ?: CpuOptions()
            return CompiledModel(
                nativeCreate(
                    filePath,
                    cpu.numThreads ?: 1,
                    cpu.xnnPackFlags ?: -1,
                    cpu.xnnPackWeightCachePath,
                ),
            )
        }

        @JvmStatic
        private external fun nativeCreate(
            path: String,
            threads: Int,
            flags: Int,
            packedPath: String?,
        ): Long

        @JvmStatic
        private external fun nativeCreateBuffer(
            handle: Long,
            signature: String,
            name: String,
            isInput: Boolean,
        ): Long

        @JvmStatic
        private external fun nativeRun(
            handle: Long,
            signature: String,
            inputNames: Array<String>,
            inputs: LongArray,
            outputNames: Array<String>,
            outputs: LongArray,
        )

        @JvmStatic private external fun nativeDestroy(handle: Long)
    }
}
