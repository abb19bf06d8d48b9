# A snapshot at Hetzner for the hosts of a fleet: docs/images.md.

packer {
  required_version = ">= 1.9"
  required_plugins {
    hcloud = {
      source  = "github.com/hetznercloud/hcloud"
      version = ">= 1.7.0, < 2.0.0"
    }
  }
}

variable "architecture" {
  description = "Of the hosts: amd64, or arm64 for cax types."
  type        = string
  default     = "amd64"
  validation {
    condition     = contains(["amd64", "arm64"], var.architecture)
    error_message = "The architecture should be amd64 or arm64."
  }
}

variable "location" {
  description = "Where the machine is that it is baked on. The snapshot can be used in all locations."
  type        = string
  default     = "fsn1"
}

locals {
  # The smallest disk there is: a snapshot fits no smaller one than it was made on.
  server_type = { amd64 = "cx23", arm64 = "cax11" }
  name        = "quayside-host-${var.architecture}-${formatdate("YYYYMMDDhhmm", timestamp())}"
}

# The token is HCLOUD_TOKEN of the environment.
source "hcloud" "host" {
  image                   = "debian-12"
  location                = var.location
  server_type             = local.server_type[var.architecture]
  server_name             = local.name
  server_labels           = { "quayside/image" = "built" }
  snapshot_name           = local.name
  snapshot_labels         = { "quayside/image" = "host", "quayside/architecture" = var.architecture }
  ssh_username            = "root"
  temporary_key_pair_type = "ed25519"
}

build {
  sources = ["source.hcloud.host"]

  provisioner "shell" {
    script = "${path.root}/host.sh"
  }
}
