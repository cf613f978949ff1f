/** The gateway on Workers: the entry, and the class of its Durable Object. */
import { frontDoor } from './workers/front-door.ts'

export { Hub } from './workers/hub.ts'

export default frontDoor
