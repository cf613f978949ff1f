/** The gateway on Workers: the entry, and the class of its Durable Object. */
import { createFrontDoor } from './workers/front-door.ts'

export { Hub } from './workers/hub.ts'

export default createFrontDoor()
