// Starts the worker with a task.

/**
 * @param task what worker.js takes; files in it are the browser's
 * @param told called with each of its answers
 * @returns {Worker}
 */
export function startWorker(task, told) {
  // Made from a blob, a worker has the page's Content-Security-Policy. Made from an address it has
  // what the server sends with the file, which is none of a plain server.
  const address = new URL('worker.js', import.meta.url).href
  const source = `import(${JSON.stringify(address)}).catch((error) =>
    postMessage({ kind: 'error', text: String(error) }))`
  const url = URL.createObjectURL(new Blob([source], { type: 'text/javascript' }))
  const worker = new Worker(url)
  worker.onmessage = ({ data }) => {
    if (data.kind === 'ready') {
      URL.revokeObjectURL(url)
      worker.postMessage(task)
    } else {
      told(data)
    }
  }
  worker.onerror = (event) => told({ kind: 'error', text: event.message || 'the worker ended' })
  return worker
}
