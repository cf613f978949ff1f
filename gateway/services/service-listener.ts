/** A port that leads to one exposed service and to nothing else. */
import { createServer, type Server } from 'node:http'
import { asksForWebSocket } from '../asks-for-web-socket.ts'
import { listening } from '../listening.ts'
import type { ServiceDoor } from './service-door.ts'
import type { Place } from './service-origins.ts'

/** Listens. Fails with what to do when the port cannot be had. */
export const listenForService = async (
  door: ServiceDoor,
  place: Place,
  address: { readonly host: string; readonly port: number },
): Promise<{ close(): Promise<void> }> => {
  const server = createServer(
    { shouldUpgradeCallback: asksForWebSocket },
    (incoming, outgoing) => void door.handle(place, incoming, outgoing),
  )
  server.on('upgrade', (incoming, socket, head) => {
    void door.handleUpgrade(place, incoming, socket, head)
  })
  await listening(server, address).catch((cause: unknown) => {
    const { service } = place
    throw new Error(
      `the service ${service} cannot have port ${address.port}: choose another with --service-port ${service}=PORT`,
      { cause },
    )
  })
  return { close: () => closed(server) }
}

const closed = (server: Server): Promise<void> =>
  new Promise((resolve) => {
    server.close(() => resolve())
    server.closeAllConnections()
  })
