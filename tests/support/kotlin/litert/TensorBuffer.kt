package com.google.ai.edge.litert

class TensorBuffer internal constructor(handle: Long) : JniHandle(handle) {
    @Throws(LiteRtException::class)
    fun writeInt(data: IntArray) {
        checkOpen()
        nativeWriteInt(handle, data)
    }

    @Throws(LiteRtException::class)
    fun writeFloat(data: FloatArray) {
        checkOpen()
        nativeWriteFloat(handle, data)
    }

    @Throws(LiteRtException::class)
    fun readFloat(): FloatArray {
        checkOpen()
        return nativeReadFloat(handle)
    }

    override fun destroy() = nativeDestroy(handle)

    companion object {
        init {
            System.loadLibrary("litert_jni")
        }

        @JvmStatic private external fun nativeWriteInt(handle: Long, data: IntArray)

        @JvmStatic private external fun nativeWriteFloat(handle: Long, data: FloatArray)

        @JvmStatic private external fun nativeReadFloat(handle: Long): FloatArray

        @JvmStatic private external fun nativeDestroy(handle: Long)
    }
}
