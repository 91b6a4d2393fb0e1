// What the tests run of docs/kotlin.md: one plan (JSON), its command; answers are lines of JSON.
import java.io.File
import java.io.FileOutputStream
import java.nio.ByteBuffer
import java.nio.ByteOrder
import kotlin.system.exitProcess
import org.json.JSONArray
import org.json.JSONObject

private fun JSONArray.ints() = IntArray(length()) { getInt(it) }

private fun JSONArray.objects() = List(length()) { getJSONObject(it) }

private class Plan(private val values: JSONObject) {
    val command: String = values.getString("command")

    fun file(key: String) = File(values.getString(key))

    fun int(key: String) = values.getInt(key)

    fun number(key: String) = values.getDouble(key)

    fun ints(key: String) = values.getJSONArray(key).ints()

    fun lists(key: String) = values.getJSONArray(key).let { lists ->
        List(lists.length()) { lists.getJSONArray(it).ints().toList() }
    }

    fun texts(key: String) = values.getJSONArray(key).let { List(it.length(), it::getString) }

    fun has(key: String) = values.has(key)

    fun bundle() = Bundle.read(file("bundle"))

    fun model() = Model(bundle(), file("packed"), threads = 1)

    fun settings(bundle: Bundle) = Settings(
        lr = number("lr"),
        eps = values.optDouble("eps", bundle.defaultEps),
        batchSize = int("batch_size"),
        steps = int("steps"),
        seed = values.optInt("seed", 0),
        weightDecay = values.optDouble("weight_decay", 0.0),
    )

    fun rows() = JSONArray(file("rows").readText()).objects().map { row ->
        val sequences = row.getJSONArray("sequences").objects().map { sequence ->
            val target = sequence.getJSONObject("target")
            Tokens(
                sequence.getJSONArray("ids").ints(),
                target.keys().asSequence().associateWith(target::getInt),
                sequence.optJSONArray("loss_mask")?.ints(),
            )
        }
        val weight = row.optString("weight", "1").toFloat()
        Row(sequences, if (row.isNull("label")) null else row.getInt("label"), weight)
    }
}

private fun say(key: String, value: Any) = println(JSONObject().put(key, value)).also { System.out.flush() }

/** Doubles as text, which a reader rounds back to the same. */
private fun sayNumbers(key: String, values: List<Double>) = say(key, JSONArray(values.map { "$it" }))

private fun writeParameters(model: Model, path: File) = FileOutputStream(path).use { file ->
    model.read { values ->
        val bytes = ByteBuffer.allocate(4 * values.size).order(ByteOrder.LITTLE_ENDIAN)
        bytes.asFloatBuffer().put(values)
        file.write(bytes.array())
    }
}

private fun train(plan: Plan) = plan.model().use { model ->
    val settings = plan.settings(model.bundle)
    val savedEvery = if (plan.has("saved_every")) plan.int("saved_every") else 100
    Run(plan.file("run"), model, settings, savedEvery).use { run ->
        say("at", run.count)
        val rows = plan.rows()
        while (run.count < settings.steps) {
            sayNumbers("step", run.step(rows).losses)
            if (plan.has("halt_behind") && run.count == plan.int("halt_behind")) {
                Runtime.getRuntime().halt(137) // as a kill: nothing is closed or flushed
            }
        }
        run.save()
    }
    writeParameters(model, plan.file("out"))
}

/** Losses before, on both sides of and after one step along a direction. */
private fun probe(plan: Plan) = plan.model().use { model ->
    val batches = batches(plan.rows(), model.bundle)
    val losses = ArrayList<Double>()
    losses += model.loss(batches)
    val scales = listOf(plan.number("eps"), -2 * plan.number("eps"), plan.number("eps") / 2)
    for (scale in scales) {
        model.perturb(plan.int("seed"), scale.toFloat())
        losses += model.loss(batches)
    }
    sayNumbers("losses", losses)
}

/** A step whose loss is no number: what it throws, and θ behind it. */
private fun lose(plan: Plan) = plan.model().use { model ->
    try {
        mezoStep(model, batches(plan.rows(), model.bundle), 1, plan.settings(model.bundle))
        say("error", "none")
    } catch (error: LossException) {
        say("error", error.message.orEmpty())
    }
    writeParameters(model, plan.file("out"))
}

/** Greedy texts, on each side of a step that moves θ. */
private fun write(plan: Plan) = plan.model().use { model ->
    val writer = Writer(model) { it < plan.int("known") }
    for (prompt in plan.lists("prompts")) say("ids", JSONArray(writer.write(prompt, plan.int("most"))))
    model.perturb(plan.int("seed"), plan.number("scale").toFloat())
    for (prompt in plan.lists("prompts")) say("ids", JSONArray(writer.write(prompt, plan.int("most"))))
}

/** Each bundle of a list: what reading it throws. */
private fun open(plan: Plan) = plan.texts("bundles").forEach { folder ->
    try {
        Bundle.read(File(folder))
        say("open", "well")
    } catch (error: Exception) {
        say("open", "${error.javaClass.name}: ${error.message}")
    }
}

private fun noise(plan: Plan) = plan.texts("bundles").forEach { folder ->
    try {
        Model(Bundle.read(File(folder)), plan.file("packed"), threads = 1).use(::checkNoise)
        say("noise", "well")
    } catch (error: IllegalStateException) {
        say("noise", error.message.orEmpty())
    }
}

private fun order(plan: Plan) {
    for ((count, batchSize, seed, step) in plan.lists("cases")) {
        val settings = Settings(1e-3, 1e-3, batchSize, 1, seed)
        say("seed", stepSeed(settings, step))
        say("members", JSONArray(members(count, settings, step)))
    }
}

private fun app(plan: Plan) {
    var steps = 0
    val (bundle, packed) = plan.file("bundle") to plan.file("packed")
    fineTune(bundle, packed, plan.file("run"), plan.rows()) { steps++ == plan.int("steps") }
}

fun main(arguments: Array<String>) {
    val plan = Plan(JSONObject(File(arguments[0]).readText()))
    try {
        when (plan.command) {
            "open" -> open(plan)
            "train" -> train(plan)
            "probe" -> probe(plan)
            "lose" -> lose(plan)
            "write" -> write(plan)
            "noise" -> noise(plan)
            "order" -> order(plan)
            "app" -> app(plan)
            else -> throw IllegalArgumentException(plan.command)
        }
    } catch (error: Exception) {
        System.err.println("${error.javaClass.name}: ${error.message}")
        exitProcess(1)
    }
}
