// Stand-ins for LiteRT's Kotlin API, with its public signatures as far as docs/kotlin.md calls them.
// Own code, on the natives of shim.c: the published library is for Android alone.
package com.google.ai.edge.litert

import java.util.concurrent.atomic.AtomicBoolean

enum class Accelerator(val value: Int) { NONE(0), CPU(1), GPU(2), NPU(3) }

class LiteRtException(message: String) : Exception(message)

/** What natives made, closed once. */
abstract class JniHandle internal constructor(internal val handle: Long) : AutoCloseable {
    private val isClosed = AtomicBoolean(false)

    internal fun checkOpen() = check(!isClosed.get()) { "The handle has been destroyed." }

    protected abstract fun destroy()

    final override fun close() {
        if (isClosed.compareAndSet(false, true)) destroy()
    }
}
