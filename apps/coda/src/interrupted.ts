/** Thrown by a command that was ended early and has said how to go on: exit code 1 without another word. */
export class Interrupted extends Error {
  override readonly name = 'Interrupted';
}
