# Machine images at AWS, made by a role that may touch only what it tagged itself: docs/images.md, docs/aws/image-policy.json.

packer {
  required_version = ">= 1.9"
  required_plugins {
    amazon = {
      source  = "github.com/hashicorp/amazon"
      version = ">= 1.8.0, < 2.0.0"
    }
  }
}

variable "region" {
  type    = string
  default = "eu-central-1"
}

variable "architecture" {
  description = "Of the instances: amd64, or arm64 for Graviton."
  type        = string
  default     = "amd64"
  validation {
    condition     = contains(["amd64", "arm64"], var.architecture)
    error_message = "The architecture should be amd64 or arm64."
  }
}

variable "subnet" {
  description = "Id of a public subnet to bake in; the default VPC's without."
  type        = string
  default     = ""
}

variable "from" {
  description = "Ranges that the machine's SSH is open to while it is baked: where Packer runs."
  type        = list(string)
}

locals {
  stamp = formatdate("YYYYMMDDhhmm", timestamp())
  # What the role knows its own by. Everything gets it in the call that makes it.
  own           = { "quayside:image" = "built" }
  instance_type = { amd64 = "t3.small", arm64 = "t4g.small" }
  architecture  = { amd64 = "x86_64", arm64 = "arm64" }
  ecs_parameter = {
    amd64 = "/aws/service/ecs/optimized-ami/amazon-linux-2023/recommended/image_id"
    arm64 = "/aws/service/ecs/optimized-ami/amazon-linux-2023/arm64/recommended/image_id"
  }
}

data "amazon-parameterstore" "ecs" {
  name   = local.ecs_parameter[var.architecture]
  region = var.region
}

# For hosts of a fleet that are EC2 instances of one's own (`capacity.existing`).
source "amazon-ebs" "host" {
  ami_name      = "quayside-host-${var.architecture}-${local.stamp}"
  region        = var.region
  instance_type = local.instance_type[var.architecture]
  subnet_id     = var.subnet
  source_ami_filter {
    filters = {
      name                = "debian-12-${var.architecture}-*"
      architecture        = local.architecture[var.architecture]
      root-device-type    = "ebs"
      virtualization-type = "hvm"
    }
    owners      = ["136693071363"] # Debian
    most_recent = true
  }
  ssh_username                          = "admin"
  associate_public_ip_address           = var.subnet == "" ? null : true
  temporary_key_pair_type               = "ed25519"
  temporary_security_group_source_cidrs = var.from
  metadata_options {
    http_endpoint               = "enabled"
    http_tokens                 = "required"
    http_put_response_hop_limit = 1
  }
  imds_support    = "v2.0"
  run_tags        = local.own
  run_volume_tags = local.own
  tags            = merge(local.own, { "quayside:kind" = "host", "quayside:base" = "{{ .SourceAMIName }}" })
}

# For the pool of an ECS stack (`capacity.instances.image`).
source "amazon-ebs" "ecs" {
  ami_name                              = "quayside-ecs-${var.architecture}-${local.stamp}"
  region                                = var.region
  instance_type                         = local.instance_type[var.architecture]
  subnet_id                             = var.subnet
  source_ami                            = data.amazon-parameterstore.ecs.value
  ssh_username                          = "ec2-user"
  associate_public_ip_address           = var.subnet == "" ? null : true
  temporary_key_pair_type               = "ed25519"
  temporary_security_group_source_cidrs = var.from
  metadata_options {
    http_endpoint               = "enabled"
    http_tokens                 = "required"
    http_put_response_hop_limit = 1
  }
  imds_support    = "v2.0"
  run_tags        = local.own
  run_volume_tags = local.own
  tags            = merge(local.own, { "quayside:kind" = "ecs", "quayside:base" = "{{ .SourceAMIName }}" })
}

build {
  sources = ["source.amazon-ebs.host", "source.amazon-ebs.ecs"]

  provisioner "shell" {
    script          = "${path.root}/${source.name}.sh"
    execute_command = "sudo sh '{{ .Path }}'"
  }
}
