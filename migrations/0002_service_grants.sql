CREATE TABLE `service_grants` (
	`id` text PRIMARY KEY NOT NULL,
	`service` text NOT NULL,
	`name` text NOT NULL,
	`digest` text NOT NULL,
	`pepper_version` text NOT NULL,
	`hint` text NOT NULL,
	`created_at` integer NOT NULL,
	`expires_at` integer NOT NULL,
	`revoked_at` integer
);
--> statement-breakpoint
CREATE UNIQUE INDEX `service_grants_digest_unique` ON `service_grants` (`digest`);