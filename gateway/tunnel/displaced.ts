/** The newest wins: which connections of a backend give way to a new one. Pure. SPEC.md, "Handshake". */
import type { Hello } from '../../shared/tunnel/hello.ts'

type Identity = Pick<Hello, 'instanceId' | 'generation' | 'connectionIndex'>

/**
 * The held connections that a new one replaces: those of other processes, and the one in its own
 * place. Null when the new one is itself late: the same process has dialled again since.
 */
export const displacedBy = <C extends { readonly hello: Identity }>(
  { instanceId, generation, connectionIndex }: Identity,
  held: readonly C[],
): readonly C[] | null => {
  const displaced = held.filter(
    ({ hello }) => hello.instanceId !== instanceId || hello.connectionIndex === connectionIndex,
  )
  const isLate = displaced.some(
    ({ hello }) => hello.instanceId === instanceId && hello.generation >= generation,
  )
  return isLate ? null : displaced
}
