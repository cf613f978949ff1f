/** A port that leads to one exposed service and to nothing else. */
import { createServer, type IncomingMessage, type Server } from 'node:http'
import { asksForWebSocket } from '../asks-for-web-socket.ts'
import { listening, tcpKeepAlive } from '../listening.ts'
import type { ServiceDoor } from './service-door.ts'
import { placeAsAsked, type Place } from './service-origins.ts'

/** Listens. Fails with what to do when the port cannot be had. */
export const listenForService = async (
  door: ServiceDoor,
  place: Place,
  address: { readonly host: string; readonly port: number },
): Promise<{ close(): Promise<void> }> => {
  const server = createServer(
    { shouldUpgradeCallback: asksForWebSocket, ...tcpKeepAlive },
    (incoming, outgoing) => void door.handle(asAsked(place, incoming), incoming, outgoing),
  )
  server.on('upgrade', (incoming, socket, head) => {
    void door.handleUpgrade(asAsked(place, incoming), incoming, socket, head)
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

const asAsked = (place: Place, { headers }: IncomingMessage): Place =>
  placeAsAsked(place, headers.host, headers['x-forwarded-proto'] === 'https')

const closed = (server: Server): Promise<void> =>
  new Promise((resolve) => {
    server.close(() => resolve())
    server.closeAllConnections()
  })
