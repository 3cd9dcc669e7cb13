/** The thread that `open-in-thread.ts` starts: holds one session, answers one message after the other. */
import { parentPort, workerData } from 'node:worker_threads';
import { loadOnnxRuntime } from './load-onnx-runtime.ts';
import { openSession, type SessionPlan } from './onnx-session.ts';
import type { Answer, Question } from './open-in-thread.ts';

const port = parentPort as NonNullable<typeof parentPort>;
const session = loadOnnxRuntime().then((ort) => openSession(ort, workerData as SessionPlan));

const answer = async (id: number, work: () => Promise<unknown>): Promise<void> => {
  let message: Answer;
  try {
    message = { id, value: await work() };
  } catch (error) {
    message = { id, error };
  }
  port.postMessage(message);
};

void answer(0, async () => {
  await session;
});
port.on('message', ({ id, method, inputs }: Question) => {
  void answer(id, async () => {
    const open = await session;
    return method === 'run' ? open.run(inputs) : open[method]();
  });
});
